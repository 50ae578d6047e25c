"""What a stranger can send or do to the ports: real attacks on a real daemon. Asserted are answers, counts and bytes, not times;
times are measured by hand (tests/bench)."""
