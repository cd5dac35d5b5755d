# One image for each service: docker build --build-arg SERVICE=executor -t mendbus-executor .
# SERVICE is classifier, predictor, strategy-selector, executor, health-monitor, or cli for the command line.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG SERVICE=strategy-selector

FROM ${PYTHON_IMAGE} AS builder
ARG SERVICE
WORKDIR /src
COPY requirements/build.txt requirements/${SERVICE}.txt requirements/
# The environment gets no pip of its own: nothing can be installed in the image that results.
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        --no-deps --require-hashes -r requirements/build.txt \
    && python -m venv --without-pip /opt/mendbus \
    && python -m pip --python /opt/mendbus/bin/python install --no-cache-dir --disable-pip-version-check \
        --no-compile --only-binary :all: --no-deps --require-hashes -r "requirements/${SERVICE}.txt"
COPY shared shared
COPY services services
RUN set -- ./shared \
    && if [ -d "services/${SERVICE}" ]; then set -- "$@" "./services/${SERVICE}"; fi \
    && python -m pip wheel --no-cache-dir --disable-pip-version-check \
        --no-deps --no-build-isolation --no-index --wheel-dir /wheels "$@" \
    && python -m pip --python /opt/mendbus/bin/python install --no-cache-dir --disable-pip-version-check \
        --no-compile --no-deps --no-index /wheels/*.whl \
    && /opt/mendbus/bin/python -m compileall -q -j 0 /opt/mendbus/lib

FROM ${PYTHON_IMAGE} AS base
ARG REVISION=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="mendbus" \
      org.opencontainers.image.description="Distributed error recovery on NATS" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# One thread in numerical libraries: a service computes a row at a time, and idle threads only cost memory.
ENV PATH=/opt/mendbus/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MENDBUS_DATA_DIR=/tmp/mendbus \
    MENDBUS_HTTP_HOST=0.0.0.0 \
    MENDBUS_HTTP_PORT=8080 \
    MENDBUS_LOG_FORMAT=json
WORKDIR /tmp

# LightGBM is linked against OpenMP, which a slim image does not have.
FROM base AS openmp
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*

FROM base AS service
ENTRYPOINT ["python", "-m", "mendbus.service"]
FROM openmp AS learned
ENTRYPOINT ["python", "-m", "mendbus.service"]

FROM learned AS classifier
CMD ["classifier"]
FROM learned AS predictor
CMD ["predictor"]
FROM service AS strategy-selector
CMD ["strategy-selector"]
FROM service AS executor
CMD ["executor"]
FROM service AS health-monitor
CMD ["health-monitor"]
FROM base AS cli
ENTRYPOINT ["mendbus"]
CMD ["--help"]

FROM ${SERVICE} AS final
ARG SERVICE
LABEL org.opencontainers.image.title="mendbus-${SERVICE}"
COPY --from=builder /opt/mendbus /opt/mendbus
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# For engines without probes of their own; -I -S starts Python in a fraction of the time.
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-I", "-S", "-c", "import os, socket, sys; s = socket.create_connection(('127.0.0.1', int(os.environ['MENDBUS_HTTP_PORT'])), 2); s.sendall(b'GET /readyz HTTP/1.0\\r\\n\\r\\n'); sys.exit(b' 200 ' not in s.recv(64))"]
