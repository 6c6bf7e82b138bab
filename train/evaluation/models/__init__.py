"""The models that can be evaluated: ours, any of open_clip, score files, baselines, ensembles."""
