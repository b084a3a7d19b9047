package awsfault

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/smithy-go"

	"nightshift/internal/fault"
)

func TestClassify(t *testing.T) {
	api := func(code string) error {
		return fmt.Errorf("operation error: %w", &smithy.GenericAPIError{Code: code, Message: "why"})
	}
	own := Codes{"QueueFull": fault.Throttled, "LimitExceededException": fault.Unknown, "NoSuchRun": fault.NotFound}
	for _, c := range []struct {
		err  error
		want fault.Kind
	}{
		{api("ThrottlingException"), fault.Throttled},
		{api("RequestLimitExceeded"), fault.Throttled},
		{api("QueueFull"), fault.Throttled},
		{api("NoSuchRun"), fault.NotFound},
		{api("ValidationException"), fault.Invalid},
		{api("AccessDenied"), fault.Denied},
		{api("ExpiredTokenException"), fault.Denied},
		{api("InvalidClientTokenId"), fault.Denied},
		{api("InternalServerException"), fault.Unknown},
		{api("SomethingNew"), fault.Unknown},
		{api("LimitExceededException"), fault.Unknown}, // the service's own word wins over the SDK's
		{errors.New("connection refused"), fault.Unknown},
		{fmt.Errorf("wrapped: %w", smithy.InvalidParamsError{}), fault.Invalid},
		{fmt.Errorf("wrapped: %w", &smithy.SerializationError{Err: errors.New("NaN")}), fault.Invalid},
	} {
		err := Classify("op", c.err, own)
		if got := fault.KindOf(err); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
	if Classify("op", nil, own) != nil {
		t.Error("no error is an error")
	}
	if err := api("Code"); Code(err) != "Code" || Message(err) != "why" || Code(errors.New("x"))+Message(errors.New("x")) != "" {
		t.Errorf("of %v the code is %q and the message %q", err, Code(err), Message(err))
	}
}
