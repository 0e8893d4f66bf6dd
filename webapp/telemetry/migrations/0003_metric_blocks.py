"""Metric points move from a row each into packed blocks, made anew from the events that carried them."""

import django.db.models.deletion
from django.db import migrations, models


def pack_stored_runs(apps, schema_editor):
    from webapp.telemetry.blocks import pack

    for run_id, last_seq in apps.get_model("experiments", "Run").objects.values_list("pk", "last_seq"):
        pack(run_id, last_seq=last_seq, everything=True)


class Migration(migrations.Migration):

    dependencies = [
        ('experiments', '0001_initial'),
        ('telemetry', '0002_samples'),
    ]

    operations = [
        migrations.CreateModel(
            name='MetricBlock',
            fields=[
                ('pk', models.CompositePrimaryKey('run_id', 'level', 'number', blank=True, editable=False, primary_key=True, serialize=False)),
                ('level', models.PositiveSmallIntegerField()),
                ('number', models.IntegerField()),
                ('first_step', models.BigIntegerField()),
                ('last_step', models.BigIntegerField()),
                ('last_seq', models.BigIntegerField()),
                ('spacing', models.PositiveSmallIntegerField()),
                ('moments', models.BinaryField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='metric_blocks', to='experiments.run')),
            ],
        ),
        migrations.CreateModel(
            name='MetricChunk',
            fields=[
                ('pk', models.CompositePrimaryKey('run_id', 'name', 'level', 'number', blank=True, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=80)),
                ('level', models.PositiveSmallIntegerField()),
                ('number', models.IntegerField()),
                ('body', models.BinaryField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='metric_chunks', to='experiments.run')),
            ],
        ),
        # Floats do not shrink by Postgres' compression; trying costs most of the time of a write.
        migrations.RunSQL(
            "ALTER TABLE telemetry_metricblock ALTER COLUMN moments SET STORAGE EXTERNAL;"
            "ALTER TABLE telemetry_metricchunk ALTER COLUMN body SET STORAGE EXTERNAL;",
            migrations.RunSQL.noop,
        ),
        migrations.RunPython(pack_stored_runs, migrations.RunPython.noop),
        migrations.DeleteModel(name='MetricPoint'),
    ]
