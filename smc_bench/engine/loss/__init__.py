"""From features to a loss: batches, model inputs, objective, distillation, several processes."""
