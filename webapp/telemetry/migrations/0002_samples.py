"""The index of samples, filled from the events of the runs that are there; by the rules of ``sample_index`` at its first version."""

import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.db import migrations, models

# Small rows: the words of a sample live outside, where reading a list does not pass.
SMALL_ROWS = "ALTER TABLE telemetry_sample SET (toast_tuple_target = 512)"

BACKFILL = r"""
INSERT INTO telemetry_sample (
    run_id, seq, step, episode, title, layout, group_key, parent_key, made, kept, discard_reason, zero_signal, disagrees,
    num_turns, num_pairs, num_right, num_wrong, solved, reward_min, reward_mean, reward_max, result, roles, search)
SELECT run_id, seq, step, data->>'episode', left(data->>'title', 300), COALESCE(data->>'layout', 'thread'),
    left(md5(btrim(regexp_replace(data->>'title', '[ \t\n\r\f\v]+', ' ', 'g'), ' ')), 16),
    COALESCE(left(md5(btrim(regexp_replace(NULLIF(facts->>'reference', ''), '[ \t\n\r\f\v]+', ' ', 'g'), ' ')), 16), ''),
    COALESCE(data->'turns'->0->>'role' LIKE '%propos%', false),
    CASE jsonb_typeof(facts->'kept') WHEN 'boolean' THEN (facts->>'kept')::boolean END,
    left(COALESCE(facts->>'reject_reason', ''), 300),
    CASE WHEN num_advantages > 0 THEN num_non_zero = 0 ELSE COALESCE(alike, false) END,
    disagrees, jsonb_array_length(data->'turns'), COALESCE(jsonb_array_length(data->'pairs'), 0), num_right, num_wrong,
    CASE WHEN num_right + num_wrong > 0 THEN num_right::float8 / (num_right + num_wrong)
         WHEN jsonb_typeof(facts->'solved') = 'number' THEN (facts->>'solved')::float8
         WHEN jsonb_typeof(facts->'solved') = 'boolean' THEN (facts->>'solved')::boolean::int::float8 END,
    reward_min, reward_mean, reward_max, left(COALESCE(facts->>'result', ''), 300), COALESCE(roles, '[]'),
    COALESCE(search, '')
FROM telemetry_event
CROSS JOIN LATERAL (SELECT COALESCE(NULLIF(data->'facts', 'null'), '{}') AS facts) AS noted
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE is_trained AND advantage IS NOT NULL) AS num_advantages,
           count(*) FILTER (WHERE is_trained AND advantage <> 0) AS num_non_zero,
           min(reward) AS reward_min, avg(reward) AS reward_mean, max(reward) AS reward_max
    FROM (SELECT COALESCE((turn->>'trained')::boolean, false) AS is_trained,
                 (turn->>'advantage')::float8 AS advantage, (turn->>'reward')::float8 AS reward
          FROM jsonb_array_elements(data->'turns') AS turn) AS turns
) AS earned
CROSS JOIN LATERAL (
    SELECT bool_and(num > 1 AND low = high) AS alike
    FROM (SELECT count(*) AS num, min((turn->>'reward')::float8) AS low, max((turn->>'reward')::float8) AS high
          FROM jsonb_array_elements(data->'turns') AS turn
          WHERE COALESCE((turn->>'trained')::boolean, false) AND turn->>'reward' IS NOT NULL GROUP BY turn->>'role') AS by_role
) AS compared
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('role', role, 'count', num, 'right', num_true, 'wrong', num_false,
                                        'reward', reward) ORDER BY place) AS roles,
           COALESCE(sum(num_true) FILTER (WHERE role NOT LIKE '%judge%' AND role NOT LIKE '%propos%'), 0) AS num_right,
           COALESCE(sum(num_false) FILTER (WHERE role NOT LIKE '%judge%' AND role NOT LIKE '%propos%'), 0) AS num_wrong,
           COALESCE(sum(num_false) FILTER (WHERE role LIKE '%judge%'), 0) AS disagrees
    FROM (SELECT turn->>'role' AS role, min(place) AS place, count(*) AS num,
                 count(*) FILTER (WHERE turn->'correct' = 'true') AS num_true,
                 count(*) FILTER (WHERE turn->'correct' = 'false') AS num_false,
                 round(avg((turn->>'reward')::numeric), 3)::float8 AS reward
          FROM jsonb_array_elements(data->'turns') WITH ORDINALITY AS listed(turn, place) GROUP BY 1) AS by_role
) AS tallied
CROSS JOIN LATERAL (
    SELECT string_agg(left(word, 60) || ':' || LEAST(place, 16383), ' ' ORDER BY place)::tsvector AS search
    FROM (SELECT found[1] AS word, row_number() OVER (ORDER BY number, inner_number) AS place
          FROM (SELECT 0 AS number, data->>'title' AS text UNION ALL
                SELECT number, turn->>'text' FROM jsonb_array_elements(data->'turns') WITH ORDINALITY AS listed(turn, number)
               ) AS texts
          CROSS JOIN LATERAL regexp_matches(lower(text), '\w+', 'g') WITH ORDINALITY AS hits(found, inner_number)) AS words
    WHERE place <= 40000
) AS worded
WHERE kind = 'sample'
"""


class Migration(migrations.Migration):

    dependencies = [
        ('experiments', '0004_run_on_several_hosts'),
        ('telemetry', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Sample',
            fields=[
                ('pk', models.CompositePrimaryKey('run_id', 'seq', blank=True, editable=False, primary_key=True, serialize=False)),
                ('seq', models.BigIntegerField()),
                ('step', models.BigIntegerField()),
                ('episode', models.TextField()),
                ('title', models.TextField()),
                ('layout', models.CharField(max_length=8)),
                ('group_key', models.CharField(max_length=16)),
                ('parent_key', models.CharField(blank=True, max_length=16)),
                ('made', models.BooleanField()),
                ('kept', models.BooleanField(null=True)),
                ('discard_reason', models.TextField(blank=True)),
                ('zero_signal', models.BooleanField()),
                ('disagrees', models.PositiveIntegerField()),
                ('num_turns', models.PositiveIntegerField()),
                ('num_pairs', models.PositiveIntegerField()),
                ('num_right', models.PositiveIntegerField()),
                ('num_wrong', models.PositiveIntegerField()),
                ('solved', models.FloatField(null=True)),
                ('reward_min', models.FloatField(null=True)),
                ('reward_mean', models.FloatField(null=True)),
                ('reward_max', models.FloatField(null=True)),
                ('result', models.TextField(blank=True)),
                ('roles', models.JSONField()),
                ('search', django.contrib.postgres.search.SearchVectorField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='samples', to='experiments.run')),
            ],
            options={
                'indexes': [models.Index(fields=['run', 'step', 'seq'], name='sample_by_step'), models.Index(fields=['run', 'group_key', 'seq'], name='sample_by_group'), models.Index(condition=models.Q(('parent_key', ''), _negated=True), fields=['run', 'parent_key'], name='sample_by_parent'), django.contrib.postgres.indexes.GinIndex(fields=['search'], name='sample_words')],
            },
        ),
        migrations.RunSQL(SMALL_ROWS, migrations.RunSQL.noop),
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
    ]
