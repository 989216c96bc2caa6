"""Many runs: sweeps of the rooms' experiments through papermill and Snakemake, resumable.

``python -m lithe.workflow run`` plans the sweeps of a profile, skips every job whose record still
stands, and hands the rest to Snakemake: ``workflow/Snakefile``, on this machine or a cluster. Each
job is one papermill run. ``python -m lithe.workflow drift`` measures again and compares.
"""
