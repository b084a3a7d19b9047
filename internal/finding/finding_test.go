package finding

import "testing"

func TestWorst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   []Result
		want Result
	}{
		{"nothing was looked at", nil, Unknown},
		{"all ok", []Result{OK, OK}, OK},
		{"a warning", []Result{OK, Warning, OK}, Warning},
		{"unknown is worse than a warning", []Result{Unknown, Warning}, Unknown},
		{"a failure is worst", []Result{Failure, Unknown, OK}, Failure},
		{"an answer nobody knows", []Result{OK, "fine"}, Failure},
	} {
		all := make([]Finding, 0, len(c.in))
		for _, r := range c.in {
			all = append(all, Finding{Result: r})
		}
		if got := Worst(all); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
