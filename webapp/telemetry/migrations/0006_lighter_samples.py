"""Fewer and lighter indexes: the primary keys begin with the run, and words are taken into their index by the thousand."""

import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models

# The index itself stays as it is; only how much waits before it is sorted in changes.
WAITING = "ALTER INDEX sample_words SET (gin_pending_list_limit = 8192)"


class Migration(migrations.Migration):

    dependencies = [
        ('experiments', '0006_run_tags_code_and_archive'),
        ('telemetry', '0005_sample_kinds'),
    ]

    operations = [
        migrations.AlterField(
            model_name='event',
            name='run',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='events', to='experiments.run'),
        ),
        migrations.AlterField(
            model_name='sample',
            name='run',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='samples', to='experiments.run'),
        ),
        migrations.RunSQL(
            WAITING,
            migrations.RunSQL.noop,
            state_operations=[
                migrations.RemoveIndex(model_name='sample', name='sample_words'),
                migrations.AddIndex(
                    model_name='sample',
                    index=django.contrib.postgres.indexes.GinIndex(fields=['search'], gin_pending_list_limit=8192, name='sample_words'),
                ),
            ],
        ),
    ]
