from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("review", "0003_rubric_version"), ("library", "0003_one_dataset")]

    operations = [
        migrations.DeleteModel(name="Dataset"),
        migrations.RenameField(model_name="verdict", old_name="rubric", new_name="subject"),
        migrations.RenameField(model_name="regrading", old_name="rubric", new_name="subject"),
    ]
