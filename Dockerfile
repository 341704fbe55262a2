# One image for every process of spanloop; docker-compose.yml says which process each container runs.
FROM python:3.11-slim AS build
WORKDIR /app
COPY scripts/uv-bootstrap.txt scripts/
RUN pip install --no-cache-dir --require-hashes -r scripts/uv-bootstrap.txt
COPY requirements.lock ./
RUN uv venv --no-python-downloads --python /usr/local/bin/python .venv \
    && uv pip sync --no-cache --python .venv/bin/python --require-hashes requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY training training
COPY sync sync
COPY ml_backend ml_backend
# --no-deps: the lock decides, not the 2021 pins of label-studio-ml.
RUN uv pip install --no-cache --python .venv/bin/python --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 spanloop && install -d -o spanloop -m 0700 /data
COPY --from=build /app/.venv /app/.venv
# The matrices are small: more threads than one only wait for each other.
ENV OPENBLAS_NUM_THREADS=1
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SPANLOOP_DATA_DIR=/data \
    SPANLOOP_HOST=0.0.0.0
USER spanloop
WORKDIR /data
VOLUME /data
EXPOSE 9090
CMD ["uvicorn", "ml_backend.app:create_app", "--factory", "--host=0.0.0.0", "--port=9090", "--workers=2", "--no-access-log", "--timeout-graceful-shutdown=5", "--timeout-worker-healthcheck=60"]
