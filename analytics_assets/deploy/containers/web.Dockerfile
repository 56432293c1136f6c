# Dagster's webserver and daemon: no Java, no model libraries; the code is asked over gRPC.
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DAGSTER_HOME=/dagster
COPY requirements.lock /tmp/requirements.lock
COPY analytics_assets/deploy/containers/web-requirements.txt /tmp/web-requirements.txt
RUN python -m pip install --no-cache-dir -r /tmp/web-requirements.txt \
    && useradd --create-home --uid 10001 analytics \
    && mkdir /dagster
COPY analytics_assets/deploy/postgres/dagster.yaml /dagster/dagster.yaml
COPY analytics_assets/deploy/containers/workspace.yaml /dagster/workspace.yaml
RUN chown -R analytics /dagster
USER analytics
WORKDIR /dagster
EXPOSE 3000
CMD ["dagster-webserver", "-h", "0.0.0.0", "-p", "3000", "-w", "/dagster/workspace.yaml"]
