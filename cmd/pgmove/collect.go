package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgmove/pgmove/internal/pace"
)

const lastSuccessName = "pgmove_last_success_timestamp_seconds"

// descriptions of the metrics, by name. No label takes a value that the database has a say in.
var descriptions = func() map[string]*prometheus.Desc {
	all := map[string]*prometheus.Desc{}
	for _, d := range []struct {
		name, help string
		labels     []string
	}{
		{"pgmove_run_info", "The command and the version of pgmove; always 1.", []string{"command", "version"}},
		{"pgmove_start_time_seconds", "When the command began, in seconds since 1970.", nil},
		{"pgmove_duration_seconds", "For how long it has gone on, or went on.", nil},
		{"pgmove_idle_seconds", "For how long no row has passed and nothing has begun or ended; large while one index is built.", nil},
		{"pgmove_phase_info", "The phase that a side is in; always 1.", []string{"side", "phase"}},
		{"pgmove_rows_total", "Rows of finished chunks.", []string{"side"}},
		{"pgmove_bytes_total", "Bytes of rows that passed; those of a chunk that comes again count once.", []string{"side"}},
		{"pgmove_chunks", "Chunks that are done, running or waiting.", []string{"side", "state"}},
		{"pgmove_indexes", "Indexes, constraints and other entries after the data that are done, running (transactions) or waiting.", []string{"state"}},
		{"pgmove_progress_ratio", "How much is done, from 0 to 1, by the source's estimates.", []string{"work"}},
		{"pgmove_eta_seconds", "How long the rest takes at the present rate; absent while nobody knows.", []string{"work"}},
		{"pgmove_entries_total", "Entries applied to the target, of all sections.", nil},
		{"pgmove_retries_total", "What an outage stopped and was tried again.", []string{"side"}},
		{"pgmove_warnings_total", "Warnings.", nil},
		{"pgmove_exit_code", "The exit code, once the command has ended.", nil},
		{"pgmove_validation_mismatches", "Differences found, once the command has ended that compared.", nil},
		{lastSuccessName, "When a command last ended with exit code 0, in seconds since 1970.", nil},
	} {
		all[d.name] = prometheus.NewDesc(d.name, d.help, d.labels, nil)
	}
	return all
}()

// Describe is prometheus.Collector's.
func (m *meters) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (m *meters) Collect(ch chan<- prometheus.Metric) {
	s := m.tally.Status()
	send := func(kind prometheus.ValueType, name string, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(descriptions[name], kind, v, labels...)
	}
	gauge := func(name string, v float64, labels ...string) { send(prometheus.GaugeValue, name, v, labels...) }
	count := func(name string, v float64, labels ...string) { send(prometheus.CounterValue, name, v, labels...) }
	gauge("pgmove_run_info", 1, s.Command, version)
	gauge("pgmove_start_time_seconds", float64(s.Started.UnixMilli())/1000)
	gauge("pgmove_duration_seconds", round(s.Seconds))
	gauge("pgmove_idle_seconds", round(s.IdleSeconds))
	for _, p := range s.Phases {
		gauge("pgmove_phase_info", 1, p.Side, p.Name)
	}
	for _, b := range s.Bars {
		states := map[string]int{"done": b.Done, "running": b.Running, "waiting": max(b.Total-b.Done-b.Running, 0)}
		for state, n := range states {
			if b.Name == pace.Build {
				gauge("pgmove_indexes", float64(n), state)
			} else {
				gauge("pgmove_chunks", float64(n), b.Side, state)
			}
		}
		if b.Name != pace.Build {
			count("pgmove_rows_total", float64(b.Rows), b.Side)
			count("pgmove_bytes_total", float64(b.MostBytes), b.Side)
		}
		if b.Total > 0 {
			gauge("pgmove_progress_ratio", b.Ratio, fieldOf(b.Name))
		}
		if b.ETA != nil {
			gauge("pgmove_eta_seconds", *b.ETA, fieldOf(b.Name))
		}
	}
	count("pgmove_entries_total", float64(s.Entries))
	for side, n := range s.RetriesOf {
		count("pgmove_retries_total", float64(n), side)
	}
	count("pgmove_warnings_total", float64(s.Warnings))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending != nil {
		gauge("pgmove_exit_code", float64(m.ending.ExitCode))
		if m.ending.mismatches >= 0 {
			gauge("pgmove_validation_mismatches", float64(m.ending.mismatches))
		}
	}
	if m.success > 0 {
		gauge(lastSuccessName, m.success)
	}
}
