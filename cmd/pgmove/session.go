package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/stream"
)

// session runs a subcommand with progress while it runs, the table of results at its
// end, and the report's file.
func session(c *cli.Context, f func(context.Context, *cli.Context, *Report) error) error {
	if err := noArgs(c); err != nil {
		return err
	}
	rep := newReport(c)
	err := progressing(c, rep, f)
	rep.connected()
	rep.end(err)
	if rep.moved() && !c.Bool("quiet") {
		rep.print(c.App.Writer)
	}
	if werr := rep.writeReports(c); werr != nil {
		return errors.Join(err, stream.Fail(stream.Failed, "the report could not be written: %s", werr))
	}
	return err
}

// watched runs a subcommand that has progress to show and nothing to report.
func watched(c *cli.Context, f func(context.Context, *cli.Context, *Report) error) error {
	return progressing(c, newReport(c), f)
}

// progressing runs f and shows progress meanwhile. Where a signal ended it, that is the error.
func progressing(c *cli.Context, rep *Report, f func(context.Context, *cli.Context, *Report) error) error {
	w, err := startWatch(c, rep)
	if err != nil {
		return err
	}
	err = f(c.Context, c, rep)
	w.stop()
	if cause := context.Cause(c.Context); cause != nil {
		err = cause
	}
	return err
}

// writeFile writes a file whole or not at all, readable by its owner alone.
func writeFile(name string, b []byte) error {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		// A pipe or a terminal, /dev/stdout for one, is not to be replaced.
		return os.WriteFile(name, b, 0o600)
	}
	// A new file under a name that nobody else in a shared folder can have made before.
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
