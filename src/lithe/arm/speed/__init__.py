"""What :mod:`lithe.arm.bench` measures, piece by piece."""
