"""Jobs carried out: one module per kind, each with ``run(job, desk)``; what a job is stands in ``training_core.spec.jobs``."""
