package workload

import "time"

// Billing is what a run is billed by, as its start request or its engine states
// it; nothing in it is assumed. Its JSON stands in records and in the hashes of
// history entries: a name may be added, never changed.
type Billing struct {
	InstanceType string  `json:"instanceType,omitzero"` // "ml.g5.xlarge"; "" is unknown, or several types
	Instances    int     `json:"instances,omitzero"`    // how many; 0 is unknown
	Spot         bool    `json:"spot,omitzero"`         // on spot capacity, whose price is another
	VCPUs        float64 `json:"vcpus,omitzero"`        // EMR on EKS: of all its pods together; 0 is unknown
	MemoryGB     float64 `json:"memoryGB,omitzero"`     // EMR on EKS: of all its pods together, in GiB; 0 is unknown
	Department   string  `json:"department,omitzero"`   // its tag "department"
	CostCenter   string  `json:"costCenter,omitzero"`   // its tag "cost-center"
}

// The tags by which costs are summed (S5.2, S8.5).
const (
	TagDepartment = "department"
	TagCostCenter = "cost-center"
)

// Tagged notes a tag of the run where it is one that costs are summed by.
func (b *Billing) Tagged(key, value string) {
	switch key {
	case TagDepartment:
		b.Department = value
	case TagCostCenter:
		b.CostCenter = value
	}
}

// On says on how many instances of which type. Groups of different types have no
// one price: then the type stays unknown.
func (b *Billing) On(instanceType string, instances int) {
	if b.Instances > 0 && b.InstanceType != instanceType {
		instanceType = ""
	}
	b.InstanceType, b.Instances = instanceType, b.Instances+instances
}

func (b Billing) sized() bool { return b.Instances > 0 || b.VCPUs > 0 }

// Adds says whether this tells more than what is recorded: a run's tags may be
// known before its size is. A size once known stays.
func (b Billing) Adds(recorded Billing) bool {
	return b.sized() && !recorded.sized() || recorded == Billing{} && b != recorded
}

// Progress is how far a piece of work is, in the engine's own words: of a Livy
// session the statement that runs.
type Progress struct {
	Of       string    `json:"of,omitzero"`       // what is meant, "statement 3"; "" where nothing is known
	Fraction float64   `json:"fraction,omitzero"` // 0 to 1
	Since    time.Time `json:"since,omitzero"`    // when that piece of work began; zero: the engine does not say
	At       time.Time `json:"at,omitzero"`       // when it was so
}

// Known says whether anything is known of it.
func (p Progress) Known() bool { return p.Of != "" }
