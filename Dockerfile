# The command line in a small image: nobody's user, and nothing to write on but /data.
#   docker run --rm --read-only --tmpfs /tmp -v "$PWD:/project:ro" -v data:/data -e OPENAI_API_KEY connectory \
#     run outgoing moderate --config /project/connectory.yaml (docs/how-to/container.md)
FROM python:3.13-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY connector connector
COPY schemas schemas
COPY transformers transformers
RUN python -m venv /opt/connectory \
 && /opt/connectory/bin/pip install --no-cache-dir --no-compile ".[fast,sandbox]"

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="Connectory" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/connectory /opt/connectory
RUN useradd --system --uid 10001 --create-home --home-dir /data connectory
ENV PATH="/opt/connectory/bin:$PATH" \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["connectory"]
CMD ["--help"]
