"""Public packs of health data: learned scores beside baselines, judged on entities that were held out."""
