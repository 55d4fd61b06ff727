"""A synthetic factory: four products with defects and exact masks, in MVTec AD layout."""

from understudy.data.factory.write import FactoryPlan, write_factory

__all__ = ["FactoryPlan", "write_factory"]
