package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

func newSnapshotCommand() *cli.Command {
	return &cli.Command{
		Name:  "snapshot",
		Usage: "hold a snapshot of the source in a process of its own, so that a dump can die and resume under it",
		Flags: []cli.Flag{sourceFlag(), &cli.BoolFlag{Name: "hold", Usage: "hold it until SIGTERM or Ctrl-C"},
			&cli.BoolFlag{Name: "json", Usage: "print the snapshot as JSON instead of its ID alone"}},
		Action: runSnapshot,
	}
}

// runSnapshot prints the snapshot's ID and holds it. To be stopped is how it ends well.
func runSnapshot(c *cli.Context) error {
	if err := noArgs(c); err != nil {
		return err
	}
	from, err := connFlag(c, "source")
	if err != nil {
		return err
	}
	if !c.Bool("hold") {
		return stream.Fail(stream.Usage, "a snapshot lives as long as the process that holds it").WithHint("give --hold")
	}
	pg, ok := from.(*pgsession.Conn)
	if !ok {
		return stream.Fail(stream.Usage, "a snapshot of %s can't be handed on to another process", engineName(engineOf(from)))
	}
	src, err := pgsource.Open(c.Context, pg, pgsource.Options{NoSchema: true, Patience: patience})
	if err != nil {
		return err
	}
	defer src.Close()
	if w := pg.Security().Weakness(); w != "" {
		fmt.Fprintf(c.App.ErrWriter, "warning: source %s: %s\n", from.Name(), w)
	}
	var perr error
	err = src.Hold(c.Context, func(id string) {
		line := []byte(id)
		if c.Bool("json") {
			facts := src.Facts()
			line, perr = json.Marshal(map[string]string{"snapshot": id, "database": facts.Database.Display(), "system_id": facts.SystemID})
		}
		if perr == nil {
			_, perr = fmt.Fprintf(c.App.Writer, "%s\n", line)
		}
	})
	return errors.Join(err, perr)
}
