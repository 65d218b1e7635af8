package main

import (
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/stream"
)

// How progress is told.
const (
	formatAuto = "auto"
	formatText = "text"
	formatJSON = "json"
)

// addWatchFlags adds what all commands have that take their time.
func addWatchFlags(c *cli.Command) {
	if slices.Contains([]string{"run", "dump", "restore", "validate", "verify"}, c.Name) {
		c.Flags = append(c.Flags, watchFlags()...)
	}
}

func watchFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-format", EnvVars: []string{"PGMOVE_LOG_FORMAT"}, Value: formatAuto, Usage: "how progress is told on stderr: text or json lines, or auto: bars on a terminal, json elsewhere"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "tell warnings and errors only, and print no table of results"},
		&cli.BoolFlag{Name: "no-progress", Usage: "no bars and no progress lines; phases, warnings and the end are told"},
		&cli.StringFlag{Name: "listen", EnvVars: []string{"PGMOVE_LISTEN"}, Usage: "answer /metrics, /progress and /healthz over HTTP on `ADDRESS`, such as 127.0.0.1:9090; anybody who reaches it may read"},
		&cli.StringFlag{Name: "metrics-file", EnvVars: []string{"PGMOVE_METRICS_FILE"}, Usage: "write metrics to `FILE`, for node_exporter's textfile collector"},
		&cli.StringFlag{Name: "push-gateway", EnvVars: []string{"PGMOVE_PUSH_GATEWAY"}, Usage: "push metrics to a Prometheus Pushgateway at `URL`; it may end in /metrics/job/NAME"},
		&cli.StringFlag{Name: "termination-log", EnvVars: []string{"PGMOVE_TERMINATION_LOG"}, Usage: "write how it ended as JSON to `FILE`; in Kubernetes /dev/termination-log, if it is there"},
	}
}

// logFormat reads --log-format.
func logFormat(c *cli.Context) (string, error) {
	switch f := c.String("log-format"); f {
	case formatAuto, formatText, formatJSON:
		return f, nil
	default:
		return "", stream.Fail(stream.Usage, "--log-format %q: text, json or auto is needed", f)
	}
}
