"""What was played in each sample, found again from what is known of it; by the rules of ``sample_index`` at this version."""

from django.db import migrations, models

FILL = """
UPDATE telemetry_sample AS sample SET kind = found.kind, rank = found.rank
FROM (
    SELECT run_id, seq, kind, CASE WHEN kind = 'practice' THEN 0 WHEN is_answered THEN 2 ELSE 1 END AS rank
    FROM (
        SELECT known.run_id, known.seq,
               CASE WHEN event.data->'practice' = 'true' OR event.data->'facts'->'practice' = 'true' THEN 'practice'
                    WHEN known.layout = 'game' THEN 'game' WHEN known.layout = 'tree' THEN 'search'
                    WHEN known.made THEN 'proposal' ELSE 'question' END AS kind,
               EXISTS (SELECT 1 FROM jsonb_array_elements(known.roles) AS tally
                       WHERE tally->>'role' !~ 'judge|propos|demonstration') AS is_answered
        FROM telemetry_sample AS known JOIN telemetry_event AS event USING (run_id, seq)
    ) AS kinds
) AS found
WHERE found.run_id = sample.run_id AND found.seq = sample.seq AND (sample.kind, sample.rank) <> (found.kind, found.rank)
"""
# What is given from outside is no answer: neither right nor wrong.
ANSWERS = """
UPDATE telemetry_sample AS sample SET num_right = found.num_right, num_wrong = found.num_wrong,
    solved = CASE WHEN found.num_right + found.num_wrong > 0
                  THEN found.num_right::float8 / (found.num_right + found.num_wrong) END
FROM (
    SELECT run_id, seq, COALESCE(sum((tally->>'right')::int) FILTER (WHERE tally->>'role' !~ 'judge|propos|demonstration'), 0) AS num_right,
           COALESCE(sum((tally->>'wrong')::int) FILTER (WHERE tally->>'role' !~ 'judge|propos|demonstration'), 0) AS num_wrong
    FROM telemetry_sample CROSS JOIN LATERAL jsonb_array_elements(roles) AS tally
    WHERE roles::text LIKE '%demonstration%' GROUP BY run_id, seq
) AS found
WHERE found.run_id = sample.run_id AND found.seq = sample.seq
"""
COUNT = """
INSERT INTO telemetry_runsummary (run_id, metrics, samples)
SELECT run_id, '{}', jsonb_object_agg(kind, num) FROM (
    SELECT run_id, kind, count(*) AS num FROM telemetry_sample GROUP BY run_id, kind) AS counted
GROUP BY run_id
ON CONFLICT (run_id) DO UPDATE SET samples = EXCLUDED.samples
"""


class Migration(migrations.Migration):

    dependencies = [
        ('experiments', '0006_run_tags_code_and_archive'),
        ('telemetry', '0004_run_summary'),
    ]

    operations = [
        migrations.AddField('runsummary', 'samples', models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict)),
        migrations.AddField('sample', 'kind', models.CharField(db_default='question', max_length=8)),
        migrations.AddField('sample', 'rank', models.PositiveSmallIntegerField(db_default=2)),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(ANSWERS, migrations.RunSQL.noop),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
        migrations.RemoveIndex(model_name='sample', name='sample_by_step'),
        migrations.AddIndex(
            model_name='sample',
            index=models.Index(fields=['run', 'step', 'rank', 'seq', 'kind'], name='sample_in_order'),
        ),
    ]
