# Two stages: `build` makes a virtual environment from the lock file, `run` holds it and nothing else.
FROM python:3.11-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY src ./src
ENV UV_PROJECT_ENVIRONMENT=/opt/graticule UV_COMPILE_BYTECODE=1
RUN uv sync --frozen --no-editable --no-cache

FROM python:3.11-slim-bookworm AS run
RUN useradd --system --uid 10001 --home-dir /var/lib/graticule --create-home graticule
COPY --from=build /opt/graticule /opt/graticule
ENV PATH=/opt/graticule/bin:$PATH \
    GRATICULE_DATA_DIR=/var/lib/graticule \
    GRATICULE_HOST=0.0.0.0 \
    GRATICULE_LOG_FORMAT=json
USER graticule
VOLUME /var/lib/graticule
EXPOSE 8181
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD \
  ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8181/health', timeout=2)"]
ENTRYPOINT ["graticule"]
CMD ["serve"]
