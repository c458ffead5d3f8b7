"""Language models and retrieval: which parts of a prompt an answer rests on, together or in each other's stead."""

from captum_andor.llm.attribution import AndOrLLMAttribution
from captum_andor.llm.context_input import ContextInput
from captum_andor.llm.masked_token_input import MaskedTokenInput

__all__ = ["AndOrLLMAttribution", "ContextInput", "MaskedTokenInput"]
