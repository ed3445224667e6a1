#!/bin/sh
# Makes benchmarks/.venv-fastai: fastai beside the project's own torch, torchvision, timm and Pillow,
# so that both sides of the comparison run the same kernels. spaCy (text only) is left out.
set -eu
cd "$(dirname "$0")"
project=../.venv/bin/python
venv=.venv-fastai
"$project" -m venv --clear "$venv"
own=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$project" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$own/project.pth"
# --no-deps: nothing may replace the project's packages; what fastai needs is named here instead.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    fastai==2.8.12 fastcore==2.2.39 fastprogress==1.1.6 fastdownload==0.0.8 \
    fasttransform==0.0.5 plum-dispatch==2.9.0
"$venv/bin/python" -c 'from fastai.vision.all import vision_learner'
