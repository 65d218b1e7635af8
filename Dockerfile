# pgmove's image: the static binary, pg_dump of several majors with its libraries, and nothing else. No shell, no
# package manager; it runs as uid 65532 and with a read-only root file system (/tmp should be writable).
#
#   docker build -t pgmove --build-arg VERSION=$(git describe --tags --always) \
#     --build-arg COMMIT=$(git rev-parse HEAD) --build-arg DATE=$(git show -s --format=%cI) .
#   docker run --rm --read-only --tmpfs /tmp pgmove --version

ARG GO=1.26
ARG DEBIAN=trixie

FROM --platform=$BUILDPLATFORM golang:${GO}-${DEBIAN} AS build
WORKDIR /src
# Apart, so that a change of the code downloads nothing.
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY dump dump
COPY internal internal
COPY restore restore
COPY stream stream
COPY validate validate
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG COMMIT=
ARG DATE=
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath \
    -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" -o /pgmove ./cmd/pgmove

FROM debian:${DEBIAN}-slim AS clients
# A dump is best told by pg_dump of the server's own major; the newest reads all older servers too.
ARG PG_MAJORS="15 16 17 18"
# "no" takes Debian's own packages, which are of one major only.
ARG PGDG=yes
COPY deploy/docker/clients.sh /clients.sh
RUN PG_MAJORS="$PG_MAJORS" PGDG="$PGDG" /clients.sh

FROM scratch
ARG VERSION=dev
ARG COMMIT=
ARG DATE=
LABEL org.opencontainers.image.title="pgmove" \
      org.opencontainers.image.description="moves a database to another server and proves that everything arrived" \
      org.opencontainers.image.source="https://github.com/pgmove/pgmove" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.created="$DATE"
COPY --from=clients /rootfs/ /
COPY --from=build /pgmove /usr/local/bin/pgmove
# OpenSSL's and Go's way to the authorities alike.
ENV PATH=/usr/local/bin HOME=/home/pgmove SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# A number: Kubernetes' runAsNonRoot can't judge a name.
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["/usr/local/bin/pgmove"]
CMD ["--help"]
