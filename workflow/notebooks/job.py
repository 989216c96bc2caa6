# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
profile = "smoke"
room = "dcff"
experiment = "score"
seed = 0
config = {}
workflow = None

# %%
from lithe import ledger
from lithe.workflow.job import carry_out

records = carry_out(room, experiment, seed, profile, config, workflow)

# %%
for name in records:
    print(name)
    for field, metric in ledger.read(name).metrics.items():
        print(f"  {field} = {metric.value:.6g} {metric.unit}")
