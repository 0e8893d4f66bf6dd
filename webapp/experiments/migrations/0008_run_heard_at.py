from django.db import migrations, models
from django.utils import timezone


def begin_to_listen(apps, schema_editor):
    """When runs outside were last heard of was not kept; their silence counts from now on."""
    outside = apps.get_model("experiments", "Run").objects.filter(experiment__method="external", status="running")
    outside.update(heard_at=timezone.now())


class Migration(migrations.Migration):
    dependencies = [("experiments", "0007_queue_places")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="heard_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunPython(begin_to_listen, migrations.RunPython.noop),
    ]
