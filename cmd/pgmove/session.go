package main

import (
	"context"
	"errors"
	"fmt"
	"os"

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
	rep.end(err)
	if rep.moved() {
		rep.print(c.App.Writer)
	}
	if file := c.String("report"); file != "" {
		if werr := rep.write(file); werr != nil {
			return errors.Join(err, stream.Fail(stream.Failed, "the report could not be written: %s", werr))
		}
	}
	return err
}

// watched runs a subcommand that has progress to show and nothing to report.
func watched(c *cli.Context, f func(context.Context, *cli.Context, *Report) error) error {
	return progressing(c, newReport(c), f)
}

// progressing runs f and shows progress meanwhile. Where a signal ended it, that is the error.
func progressing(c *cli.Context, rep *Report, f func(context.Context, *cli.Context, *Report) error) error {
	p := startProgress(c.App.ErrWriter, rep)
	err := f(c.Context, c, rep)
	p.stop()
	if cause := context.Cause(c.Context); cause != nil {
		err = cause
	}
	return err
}

// writeFile writes a file whole or not at all, readable by its owner alone.
func writeFile(name string, b []byte) error {
	tmp := fmt.Sprintf("%s.tmp%d", name, os.Getpid())
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, name); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return nil
}
