"""A synthetic factory: four products with defects and exact masks, and a kit of parts with logical faults.

The products are written in MVTec AD layout, the kit in MVTec LOCO layout.
"""

from understudy.lab.factory.write import FactoryPlan, LogicalPlan, write_factory, write_logical

__all__ = ["FactoryPlan", "LogicalPlan", "write_factory", "write_logical"]
