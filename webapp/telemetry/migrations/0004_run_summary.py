import django.db.models.deletion
from django.db import migrations, models

# What runs have said before this table was there, counted once.
FILL = """
INSERT INTO telemetry_runsummary (run_id, metrics)
SELECT run_id, jsonb_object_agg(name, jsonb_build_array(first, last, last_step, low, high, total, points))
FROM (
    SELECT run_id, said.key AS name, (array_agg(said.value::float8 ORDER BY seq))[1] AS first,
           (array_agg(said.value::float8 ORDER BY seq DESC))[1] AS last, (array_agg(step ORDER BY seq DESC))[1] AS last_step,
           min(said.value::float8) AS low, max(said.value::float8) AS high, sum(GREATEST(-1e300, LEAST(1e300, said.value::float8))) AS total,
           count(*) AS points
    FROM telemetry_event CROSS JOIN LATERAL jsonb_each_text(data->'values') AS said
    WHERE kind = 'metric' AND said.value IS NOT NULL GROUP BY run_id, said.key
) AS counted
GROUP BY run_id
"""


class Migration(migrations.Migration):

    dependencies = [
        ('telemetry', '0003_metric_blocks'),
    ]

    operations = [
        migrations.CreateModel(
            name='RunSummary',
            fields=[
                ('run', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='summary', serialize=False, to='experiments.run')),
                ('metrics', models.JSONField(default=dict)),
            ],
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
