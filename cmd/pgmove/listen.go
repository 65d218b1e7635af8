package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pgmove/pgmove/internal/pace"
	"github.com/pgmove/pgmove/stream"
)

// listener answers over HTTP while a command runs. It asks nobody who they are, and takes nothing but questions.
type listener struct {
	server *http.Server
	addr   string
}

// startListener listens on an address; "" for none.
func startListener(address string, t *pace.Tally, m *meters) (*listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, stream.Fail(stream.Usage, "--listen: %s", err).WithHint("give a free address of this machine, such as 127.0.0.1:9090, or :9090 for all of them")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	// It tells that the process lives, and nothing more: who restarts what waits for a large index loses hours.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "ok\nidle_seconds %.0f\n", t.Status().IdleSeconds)
	})
	mux.HandleFunc("GET /progress", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(t.Status())
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "pgmove: /metrics /progress /healthz") })
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = s.Serve(l) }()
	return &listener{server: s, addr: l.Addr().String()}, nil
}

// close stops listening.
func (l *listener) close() {
	if l != nil {
		_ = l.server.Close()
	}
}
