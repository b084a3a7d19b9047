package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// CheckPattern says what is wrong with an event pattern whatever the event:
// Matches stops at the first field that decides. A filter that Matches does not
// know is a fault.
func CheckPattern(pattern string) error {
	var p map[string]any
	if json.Unmarshal([]byte(pattern), &p) != nil || p == nil {
		return errors.New("Filter is not an object")
	}
	return checkFields("", p)
}

func checkFields(path string, fields map[string]any) error {
	if len(fields) == 0 {
		return fmt.Errorf("Empty objects are not allowed%s", at(path))
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		path := strings.TrimPrefix(path+"."+name, ".")
		switch want := fields[name].(type) {
		case map[string]any:
			if err := checkFields(path, want); err != nil {
				return err
			}
		case []any:
			if len(want) == 0 {
				return fmt.Errorf("Empty arrays are not allowed%s", at(path))
			}
			for _, f := range want {
				// Whether a filter is one shows with any value.
				if _, err := anyFits([]any{f}, nil, true); err != nil {
					return fmt.Errorf("%s%s", strings.TrimPrefix(err.Error(), "event pattern: "), at(path))
				}
				if err := checkValue(path, f); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("%q must be an object or an array", name)
		}
	}
	return nil
}

// checkValue says whether a filter's value is of the filter's type.
func checkValue(path string, f any) error {
	special, _ := f.(map[string]any)
	for name, value := range special {
		ok := true
		switch name {
		case "prefix", "suffix":
			_, ok = value.(string)
		case "exists":
			_, ok = value.(bool)
		case "anything-but":
			list, _ := value.([]any)
			ok = len(list) > 0 && !slices.ContainsFunc(list, func(v any) bool {
				_, text := v.(string)
				_, number := v.(float64)
				return !text && !number
			})
		}
		if !ok {
			return fmt.Errorf("the value of %s is not allowed%s", name, at(path))
		}
	}
	return nil
}

func at(path string) string {
	if path == "" {
		return ""
	}
	return " at " + path
}
