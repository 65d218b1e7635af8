package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// progressEvery is how often a line tells how far a run is.
const progressEvery = 3 * time.Second

// progress prints a line every few seconds: plain text on a terminal, JSON elsewhere.
type progress struct {
	rep  *Report
	done chan struct{}
	over chan struct{}
	text io.Writer
	log  *slog.Logger
	last counters
	at   time.Time
	seen int // warnings already told
}

func startProgress(w io.Writer, rep *Report) *progress {
	p := &progress{rep: rep, done: make(chan struct{}), over: make(chan struct{}), at: time.Now()}
	if f, ok := w.(*os.File); ok && terminal(f) {
		p.text = w
	} else {
		p.log = slog.New(slog.NewJSONHandler(w, nil))
	}
	go func() {
		defer close(p.over)
		t := time.NewTicker(progressEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				p.tell()
			case <-p.done:
				return
			}
		}
	}()
	return p
}

func terminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

func (p *progress) stop() {
	close(p.done)
	<-p.over
}

func (p *progress) tell() {
	r := p.rep
	r.mu.Lock()
	now, entries := r.now, r.entries
	warnings := append([]string(nil), r.Warnings[min(p.seen, len(r.Warnings)):]...)
	p.seen = len(r.Warnings)
	var phases []string
	for _, side := range []string{"dump", "restore", "validate", "verify"} {
		if ph := r.phases[side]; ph != "" {
			phases = append(phases, side+" "+ph)
		}
	}
	r.mu.Unlock()
	took := time.Since(p.at).Seconds()
	rate := float64(now.bytes-p.last.bytes+now.compared-p.last.compared) / took
	p.last, p.at = now, time.Now()
	elapsed := time.Since(r.Started).Round(time.Second)
	if p.log != nil {
		for _, t := range warnings {
			p.log.Warn(t)
		}
		p.log.Info("progress", "phase", strings.Join(phases, ", "), "rows", now.rows, "bytes", now.bytes, "bytes_per_second", int64(rate),
			"chunks", now.chunks, "chunks_total", now.of, "entries", entries, "compared_bytes", now.compared, "elapsed_seconds", int(elapsed.Seconds()))
		return
	}
	for _, t := range warnings {
		fmt.Fprintf(p.text, "warning: %s\n", t)
	}
	fmt.Fprintf(p.text, "%7s  %-40s  %12d rows  %10s  %10s/s  %d of %d chunks\n", elapsed, strings.Join(phases, ", "), now.rows,
		sizeText(now.bytes), sizeText(int64(rate)), now.chunks, now.of)
}

func seconds(s float64) string {
	switch {
	case s < 0:
		return ""
	case s < 60:
		return fmt.Sprintf("%.2f s", s)
	}
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

// sizeText writes bytes in binary units.
func sizeText(n int64) string {
	const units = "KMGTPE"
	if n > -1024 && n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for ; f >= 1024 || f <= -1024; i++ {
		f /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

// printTable aligns columns; the first to the left, those with numbers to the right.
func printTable(w io.Writer, head []string, rows [][]string) {
	width := make([]int, len(head))
	for _, r := range append([][]string{head}, rows...) {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range append([][]string{head}, rows...) {
		var b strings.Builder
		for i, c := range r {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			right := head[i] == "rows" || head[i] == "bytes" || head[i] == "time" || head[i] == "from"
			if right {
				b.WriteString(pad + c)
			} else {
				b.WriteString(c + pad)
			}
			b.WriteString("  ")
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
