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
    fasttransform==0.0.5 plum-dispatch==2.10.1 beartype==0.23.1 pandas==3.1.1 matplotlib==3.11.2 \
    contourpy==1.3.3 cycler==0.12.1 fonttools==4.68.0 kiwisolver==1.5.1 pyparsing==3.3.3 \
    python-dateutil==4.0.0 pytz==2026.6 six==1.17.0 tzdata==2026.6 requests==2.34.2 \
    certifi==2026.10.18 charset-normalizer==3.5.2 urllib3==2.8.0 python-fasthtml==0.14.14 \
    itsdangerous==2.2.0 starlette==1.10.0 python-multipart==0.0.34
"$venv/bin/python" -c 'from fastai.vision.all import vision_learner'
