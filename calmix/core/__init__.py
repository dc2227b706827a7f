"""What mixing is: `Mix` and how it is applied, `Method` and its parts, tasks, and `TrainingLoss`.

Its modules import each other in this order: tree, require, random, batch_norm and hooks; mix and embeddings; task,
clean and memory; training_set and control; method; pairing, site, space and objective; coefficient; loss.
"""
