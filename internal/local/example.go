package local

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nightshift/statemachines"
)

// Example begins an evening for people to look at: the samples of the machines run
// and submit-job-run (statemachines/inputs), and a Livy session of ben's. Some of
// them outlive their user's sign-out, and some do not.
func (s *System) Example() error {
	livy, err := json.Marshal(map[string]any{"user": userPrefix + "ben", "engine": "livy", "endpoint": Livy, "application": "spark", "spec": map[string]any{"kind": "pyspark"}})
	if err != nil {
		return err
	}
	begin := func(machine, name string, input []byte) error {
		// Names of executions stay used where records survive.
		_, err := s.StartMachine(machine, fmt.Sprintf("example-%s-%d", strings.TrimSuffix(name, ".json"), s.Clock.Now().Unix()), input)
		return err
	}
	if err := begin(statemachines.Run, "run.livy", livy); err != nil {
		return fmt.Errorf("example: %w", err)
	}
	for _, machine := range []string{statemachines.Run, statemachines.SubmitJobRun} {
		samples := statemachines.Inputs(machine)
		for _, name := range slices.Sorted(maps.Keys(samples)) {
			if err := begin(machine, name, samples[name]); err != nil {
				return fmt.Errorf("example %s: %w", name, err)
			}
		}
	}
	return nil
}
