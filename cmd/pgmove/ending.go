package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// ending is how a command ended. Its JSON form is the termination message.
type ending struct {
	Command  string  `json:"command,omitempty"`
	Run      string  `json:"run,omitempty"`
	Verdict  string  `json:"verdict"`
	ExitCode int     `json:"exit_code"`
	Error    string  `json:"error,omitempty"`
	Hint     string  `json:"hint,omitempty"`
	Rows     int64   `json:"rows"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
	// Resume says that the same command with --resume goes on.
	Resume bool `json:"resume"`

	mismatches int // -1 where nothing was compared
}

// lastWords tells how it ended: to the log, the metrics and Kubernetes, and to the user, with what to do next. It says
// whether the user is told in text: who asked for JSON gets nothing else.
func lastWords(app *cli.App, stderr io.Writer, err error) bool {
	w, _ := app.Metadata["watch"].(*watcher)
	e := endingOf(w, err)
	if w != nil {
		w.stop()
		w.end(e)
	}
	asText := w == nil || w.logger.json == nil || !w.logger.explicit
	if asText {
		printError(stderr, err)
	}
	path, asked := "", false
	if w != nil {
		path, asked = w.termination, w.termination != ""
	}
	if err := terminationMessage(path, w != nil || err != nil, e); err != nil && asked {
		fmt.Fprintf(stderr, "pgmove: the termination message could not be written: %s\n", err)
	}
	return asText
}

func endingOf(w *watcher, err error) ending {
	e := ending{ExitCode: exitCode(err), Verdict: "failed", mismatches: -1}
	if err != nil {
		e.Error, e.Hint = err.Error(), hintOf(err)
	}
	if w == nil {
		return e
	}
	s, rep := w.tally.Status(), w.rep
	rep.ExitCode = e.ExitCode
	e.Command, e.Run, e.Rows, e.Bytes, e.Seconds, e.Verdict = s.Command, rep.Run, s.Rows, s.Bytes, round(s.Seconds), rep.verdict()
	switch {
	case e.Command == "verify" && e.ExitCode == 0:
		e.Verdict = "intact"
	case e.ExitCode == 31:
		e.Verdict = "damaged"
	}
	if rep.Result != nil && rep.Result.Level != "" {
		e.mismatches = len(rep.Result.Mismatches)
	}
	resumable := slices.Contains([]string{"run", "dump", "restore"}, e.Command)
	e.Resume = resumable && (e.ExitCode == 20 || e.ExitCode >= 128)
	return e
}

// terminationLog is where Kubernetes reads a container's last message. A variable for the tests alone.
var terminationLog = "/dev/termination-log"

// maxMessage is how much of it Kubernetes takes, in bytes.
const maxMessage = 4096

// terminationMessage writes how it ended to the file at path; in Kubernetes, where no path was asked for, to its own.
func terminationMessage(path string, ran bool, e ending) error {
	flags := os.O_WRONLY | os.O_TRUNC | os.O_CREATE
	if path == "" {
		if !ran || os.Getenv("KUBERNETES_SERVICE_HOST") == "" {
			return nil
		}
		path, flags = terminationLog, os.O_WRONLY|os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(e.message())
	return errors.Join(err, f.Close())
}

// message is the ending as JSON, the error shortened until it fits.
func (e ending) message() []byte {
	for limit := maxMessage; ; limit -= 64 {
		short := e
		short.Error, short.Hint = cut(e.Error, limit*3/4), cut(e.Hint, limit/4)
		b, err := json.Marshal(short)
		if err == nil && len(b) < maxMessage {
			return append(b, '\n')
		}
		if limit <= 0 {
			return nil
		}
	}
}

// cut shortens a text to n bytes at the most.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	n = max(n-3, 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
