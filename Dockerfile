# Dargah's image: hash-locked wheels in a virtual environment on a slim Python, run by a numeric user that is nobody.
# It runs on a read-only root: /data is the only place that it writes to. Secrets are files in /etc/dargah.
ARG PYTHON=3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3

FROM python:${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements.txt requirements-build.txt ./
# What runs and what builds are two environments: the second one is left behind.
RUN python -m venv --without-pip /opt/dargah \
 && python -m venv --without-pip /opt/build \
 && pip --python /opt/dargah/bin/python install --only-binary :all: --require-hashes -r requirements.txt \
 && pip --python /opt/build/bin/python install --only-binary :all: --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
RUN pip --python /opt/build/bin/python wheel --no-deps --no-index --no-build-isolation --wheel-dir /opt/wheel . \
 && pip --python /opt/dargah/bin/python install --no-deps --no-index /opt/wheel/*.whl \
 && /opt/dargah/bin/python -m compileall -q /opt/dargah/lib

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="Dargah" \
      org.opencontainers.image.description="A payment proxy for shops that sell through a redirect gateway" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# tini passes the signals on and reaps; what installs packages goes, since nothing is installed from here on.
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini=0.19.0-* \
 && rm -rf /var/lib/apt/lists/* \
 && pip uninstall -y --quiet --root-user-action=ignore pip setuptools wheel \
 && install -d -o 10001 -g 10001 -m 0700 /data /etc/dargah
COPY --from=build /opt/dargah /opt/dargah
# What is called SECRETS_DIR is the name of a directory.
# hadolint ignore=DL3064
ENV PATH=/opt/dargah/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DARGAH_DATABASE=/data/dargah.db \
    DARGAH_LISTEN=0.0.0.0:8080 \
    DARGAH_SECRETS_DIR=/etc/dargah
WORKDIR /data
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["dargah", "health", "--ready"]
ENTRYPOINT ["tini", "--", "dargah"]
CMD ["serve"]
