package main

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"

	"github.com/pgmove/pgmove/internal/bars"
	"github.com/pgmove/pgmove/internal/pace"
	"github.com/pgmove/pgmove/stream"
)

// logger writes what happens as lines: JSON with the fields of docs/progress.md, or text.
type logger struct {
	w        io.Writer
	json     *slog.Logger // nil for text
	plain    bool
	explicit bool // the format was asked for
	bars     bool // beside bars: warnings alone
	quiet    bool
}

func newLogger(w io.Writer, format string, isTerminal, bars, quiet bool) *logger {
	l := &logger{w: w, plain: format == formatText || format == formatAuto && isTerminal, explicit: format != formatAuto, bars: bars, quiet: quiet}
	if !l.plain {
		l.json = slog.New(slog.NewJSONHandler(w, nil))
	}
	return l
}

// silent reports whether only warnings and errors are told.
func (l *logger) silent() bool { return l.quiet || l.bars }

// line writes a line of text, begun with how long the run has gone on.
func (l *logger) line(seconds float64, format string, args ...any) {
	fmt.Fprintf(l.w, "%7s  %s\n", bars.Clock(seconds), fmt.Sprintf(format, args...))
}

func (l *logger) start(command string) {
	switch {
	case l.silent():
	case l.plain:
		l.line(0, "%s begins, pgmove %s", command, version)
	default:
		l.json.Info("start", "command", command, "version", version)
	}
}

func (l *logger) listening(addr string) {
	switch {
	case l.silent():
	case l.plain:
		l.line(0, "listening on %s", addr)
	default:
		l.json.Info("listening", "address", addr)
	}
}

// event tells of an event and of what it brought to its end.
func (l *logger) event(e stream.Event, f pace.Finished, t *pace.Tally) {
	switch e.Kind {
	case stream.EventWarning, stream.EventRetry:
		l.warning(e, f)
		return
	}
	if l.silent() {
		return
	}
	if f.Phase != "" {
		if l.plain {
			l.line(t.Seconds(), "%s: %s ended after %s", f.Side, f.Phase, seconds(f.Seconds))
		} else {
			l.json.Info("phase", "side", f.Side, "phase", f.Phase, "state", "end", "seconds", round(f.Seconds))
		}
	}
	if e.Kind == stream.EventPhase && e.Text != "" {
		if l.plain {
			l.line(t.Seconds(), "%s: %s", e.Side, e.Text)
		} else {
			l.json.Info("phase", "side", e.Side, "phase", e.Text, "state", "begin")
		}
	}
	if f.Table != "" && e.Text != stream.TakenBefore {
		switch {
		case !l.plain:
			l.json.Info("table", "side", f.Side, "table", f.Table, "rows", f.Rows, "bytes", f.Bytes, "seconds", round(f.Seconds))
		case l.explicit:
			l.line(t.Seconds(), "%s: table %s done: %d rows, %s in %s", f.Side, f.Table, f.Rows, sizeText(f.Bytes), seconds(f.Seconds))
		}
	}
}

func (l *logger) warning(e stream.Event, f pace.Finished) {
	switch {
	case !f.Fresh:
	case l.plain && e.Kind == stream.EventRetry:
		fmt.Fprintf(l.w, "retry: %s\n", e.Text)
	case l.plain:
		fmt.Fprintf(l.w, "warning: %s\n", e.Text)
	case e.Kind == stream.EventRetry:
		l.json.Warn("retry", "side", e.Side, "object", e.Object, "text", e.Text)
	default:
		l.json.Warn("warning", "side", e.Side, "text", e.Text)
	}
}

// progress tells how far the run is.
func (l *logger) progress(s pace.Status) {
	var phases []string
	for _, p := range s.Phases {
		phases = append(phases, p.Side+" "+p.Name)
	}
	if !l.plain {
		args := []any{"phase", strings.Join(phases, ", "), "rows", s.Rows, "bytes", s.Bytes, "entries", s.Entries, "retries", s.Retries,
			"warnings", s.Warnings, "elapsed_seconds", math.Round(s.Seconds), "idle_seconds", math.Round(s.IdleSeconds)}
		for _, b := range s.Bars {
			args = append(args, slog.Group(fieldOf(b.Name), "rows", b.Rows, "bytes", b.Bytes, "done", b.Done, "total", b.Total,
				"ratio", b.Ratio, "bytes_per_second", b.Rate, "eta_seconds", b.ETA))
		}
		l.json.Info("progress", args...)
		return
	}
	var figures []string
	for _, b := range s.Bars {
		text := fmt.Sprintf("%s %d%%", b.Name, int(b.Ratio*100))
		switch {
		case b.Name == pace.Build:
			text = fmt.Sprintf("%s %d of %d", b.Name, b.Done, b.Total)
		case b.Ratio < 1:
			text += fmt.Sprintf(" (%d rows, %s, %s/s)", b.Rows, sizeText(b.Bytes), sizeText(int64(b.Rate)))
		}
		if b.ETA != nil {
			text += " ETA " + bars.Clock(*b.ETA)
		}
		figures = append(figures, text)
	}
	if len(figures) == 0 {
		figures = phases
	}
	l.line(s.Seconds, "%s", strings.Join(figures, ", "))
}

// fieldOf is a bar's name as a field.
func fieldOf(name string) string { return strings.ReplaceAll(name, " ", "_") }

// end tells how it ended. Of an error on a terminal more is printed after it.
func (l *logger) end(e ending) {
	switch {
	case l.json != nil && e.ExitCode != 0:
		l.json.Error("end", "command", e.Command, "run", e.Run, "exit_code", e.ExitCode, "verdict", e.Verdict, "rows", e.Rows, "bytes", e.Bytes,
			"seconds", e.Seconds, "error", e.Error, "hint", e.Hint, "resume", e.Resume)
	case l.silent():
	case l.json != nil:
		l.json.Info("end", "command", e.Command, "run", e.Run, "exit_code", 0, "verdict", e.Verdict, "rows", e.Rows, "bytes", e.Bytes, "seconds", e.Seconds)
	case e.ExitCode == 0:
		l.line(e.Seconds, "%s ended: %s, %d rows, %s", e.Command, e.Verdict, e.Rows, sizeText(e.Bytes))
	default:
		l.line(e.Seconds, "%s ended: %s, exit code %d", e.Command, e.Verdict, e.ExitCode)
	}
}

func round(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }
