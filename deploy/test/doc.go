// Package test holds the tests of what deploy/ ships: the Helm chart, docker-compose.yml, the Dockerfile and the systemd units. It
// is a module of its own, so that what it needs to read them is no dependency of pgmove's.
package test
