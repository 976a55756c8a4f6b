"""ONNX Runtime 1.31's messages, as they were seen, and what becomes of them."""

import pytest

from fairlead_server.runtimes import ort_messages

RUN = (
    "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running ConstantOfShape node. "
    "Name:'' Status Message: "
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Non-zero status code returned while running Gather node. "
            "Name:'lookup' Status Message: indices element out of data bounds, idx=7 must be within [-3,2]",
            "the model could not run on this input at Gather 'lookup': indices element out of data bounds, "
            "idx=7 must be within [-3,2]",
        ),
        (
            RUN + "/onnxruntime_src/onnxruntime/core/framework/op_kernel.cc:87 virtual OrtValue* "
            "onnxruntime::OpKernelContext::OutputMLValue(int, const onnxruntime::TensorShape&) [ONNXRuntimeError] "
            ": 1 : FAIL : tensor.cc:57 CalculateTensorStorageSize Tensor shape.Size() must be >= 0\n",
            "the model could not run on this input at ConstantOfShape: Tensor shape.Size() must be >= 0",
        ),
        (
            RUN + "/onnxruntime_src/onnxruntime/core/common/safeint.h:17 static void SafeIntExceptionHandler<"
            "onnxruntime::OnnxRuntimeException>::SafeIntOnOverflow() Integer overflow\n",
            "the model could not run on this input at ConstantOfShape: Integer overflow",
        ),
        (
            "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Invalid rank for input: s Got: 1 Expected: 2 Please fix "
            "either the inputs/outputs or the model.",
            "the model could not run on this input: Invalid rank for input: s Got: 1 Expected: 2 Please fix either "
            "the inputs/outputs or the model",
        ),
        ("", "the model could not run on this input: no reason given"),
    ],
)
def test_run_messages(text: str, sentence: str) -> None:
    """What the operator says stays, and where in ONNX Runtime's sources it said so goes."""
    assert ort_messages.run_sentence(text) == sentence


def test_what_nobody_foresaw_is_still_one_short_line() -> None:
    """Of at most 300 characters of theirs."""
    sentence = ort_messages.load_sentence("[ONNXRuntimeError] : 1 : FAIL : strange\n" + "thing " * 200)
    assert sentence.startswith("ONNX Runtime cannot open the model: strange thing")
    assert "\n" not in sentence
    assert len(sentence) < 350


@pytest.mark.parametrize(
    ("text", "memory", "device"),
    [
        (RUN + "Failed to allocate memory for requested buffer of size 4398046511104", True, False),
        ("std::bad_alloc", True, False),
        (RUN + "Available memory of 8347648 is smaller than requested bytes of 16777216", True, False),
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=node", True, True),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", True, True),
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", False, True),
        ("CUDNN failure 8: CUDNN_STATUS_EXECUTION_FAILED", False, True),
        (RUN + "indices element out of data bounds", False, False),
    ],
)
def test_whose_fault_it_is(text: str, memory: bool, device: bool) -> None:
    """Want of memory may pass; a device's failure is not the caller's."""
    assert (ort_messages.is_memory(text), ort_messages.is_device(text)) == (memory, device)
