"""The science: teachers, students, pairs, losses and maps. Needs torch."""
