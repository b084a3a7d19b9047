// Command nightshift is Nightshift's command line: the pure decision, the demo
// and the local system. It wires; it decides nothing itself.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nightshift: "+err.Error())
		os.Exit(statusOf(err))
	}
}

func run(args []string) error {
	root := &cobra.Command{
		Use:           "nightshift",
		Short:         "Let long AWS work go on after sign-out where policy allows it, and stop it in time where not",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(demoCommand(time.Now), upCommand(time.Now), decideCommand(), clusterCommand())
	root.SetArgs(args)
	return root.Execute()
}
