"""What most teams would build instead: Flask, Celery on Redis, PostgreSQL. Tuned honestly."""
