"""The pixel half up to the model: sources, manifest, splits, store, augmentation."""
