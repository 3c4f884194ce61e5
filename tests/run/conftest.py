from run_stand_ins import engines  # noqa: F401
