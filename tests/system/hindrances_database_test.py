"""What PostgreSQL can do to stop progress, and what the operator is told (see hindrances.py)."""
from hindrances import judge_all, table

ROWS, hindrance = table()


def test_everything_in_postgresql_that_makes_no_progress_is_alarmed(make):
    judge_all(ROWS, make)
