"""The shortest recipe that trains."""

MINIMAL = """
run_name: mine
max_duration: 4ep
model: {name: small_resnet, num_classes: 10}
data: {name: digits, batch_size: 50, eval_batch_size: 900}
optimizer: {lr: 0.1}
schedule: {kind: cyclic, t_0: 2ep}
"""
