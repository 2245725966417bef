# syntax=docker/dockerfile:1
# Every service, and the operator's command, in one image without a shell. What runs is the
# entrypoint: `--entrypoint waybill-tool-executor`. See docs/hosts.md.

# The oldest Rust that builds it (`rust-version` in Cargo.toml), on the same Debian as the image below.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --package waybill --bins \
    && mkdir --parents /out/bin /out/workspace /out/data \
    && find target/release -maxdepth 1 -type f -name 'waybill*' -executable \
        -exec cp --target-directory=/out/bin {} +

# glibc, CA certificates, and the user nonroot (65532); no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/bin/ /usr/local/bin/
# `waybill up` reads the folder that it is started in: an empty one, to mount over.
COPY --from=build --chown=65532:65532 /out/workspace /workspace
COPY --from=build --chown=65532:65532 /out/data /data
WORKDIR /workspace
USER 65532:65532
ENV WAYBILL_LISTEN=0.0.0.0:8080 \
    WAYBILL_LOG_FORMAT=json
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s \
    CMD ["/usr/local/bin/waybill", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/waybill"]
CMD ["up", "--data-dir", "/data/waybill"]
