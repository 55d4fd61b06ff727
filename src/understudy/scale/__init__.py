"""Many pictures, many processes: a class for engines of data, a lake by Ray Data, an evaluation in shares."""
